"""Networks behind the seam, each against slow versions of its layers and on eight small clips."""
