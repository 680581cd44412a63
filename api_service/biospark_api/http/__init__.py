"""HTTP as this API speaks it: what every request passes, and what operations are given and answer."""
