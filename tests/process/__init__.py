"""Who is running."""
