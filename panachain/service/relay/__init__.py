"""The running relay: pays for patients' signed orders and sends them to the mainchain."""
