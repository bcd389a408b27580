"""Using a store that somebody else serves as one's own."""
