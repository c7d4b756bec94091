"""Long tests of the whole program with random inputs. `python -m tests.campaign.NAME` runs one of them."""
