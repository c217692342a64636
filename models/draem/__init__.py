"""DRAEM: a reconstruction network and a network that segments what it repaired."""
