"""Tests of the project: `unit` needs nothing, `integration` a control plane, `e2e` a node."""
