"""The `opstrail` command: gathers the commands of all services."""
