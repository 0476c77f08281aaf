"""Version v1alpha1: one room per part of the spec. A field is here when it works, not before."""
