"""Large campaigns, each a command of its own: python -m tests.campaign.NAME --help."""
