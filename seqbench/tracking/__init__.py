"""The tracking store: writes runs and reads them; the only user of MLflow."""
