"""Find trail files and split them into raw events."""
