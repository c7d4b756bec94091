"""Campaigns against the whole program, each behind its own command: `python -m tests.campaign.NAME`."""
