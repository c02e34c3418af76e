"""Plans a matrix of trials and runs those that are not finished, through launchers."""
