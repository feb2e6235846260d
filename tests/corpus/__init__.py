"""Faults of dtype that people reported, each rebuilt as a small model beside its mend."""
