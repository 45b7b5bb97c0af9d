"""Servers: what this machine shows to others over HTTP. Needs the extra `server`."""
