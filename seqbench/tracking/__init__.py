"""The tracking store; the only user of MLflow."""
