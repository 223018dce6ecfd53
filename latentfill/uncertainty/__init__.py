"""Uncertainty: errors of completions, predicted from features by a calibration."""
