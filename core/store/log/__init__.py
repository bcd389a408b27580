"""The log: how facts go in, and what they fold into."""
