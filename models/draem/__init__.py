"""DRAEM: a reconstruction network, and a network that segments what the first repaired."""
