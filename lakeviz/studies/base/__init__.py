"""What all studies share: settings, results, findings, captured data, and the registry."""
