"""Campaigns against the whole program: many commands, each in a fork of one warmed process."""
