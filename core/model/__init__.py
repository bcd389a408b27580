"""The words: errors, time, names, manifests, the handshake, facts and events. Imports nothing of ours."""
