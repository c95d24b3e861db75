"""Exploration: sweeps of single faults, campaigns of seeded runs, interleavings; shrinking and replaying what they find."""
