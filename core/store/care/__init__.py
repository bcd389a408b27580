"""Caring for a store: what is damaged, what is proved, what may go."""
