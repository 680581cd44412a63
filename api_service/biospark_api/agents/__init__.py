"""Agents of the platform: list, get, change status and configuration."""
