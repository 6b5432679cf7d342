"""Outcomes of a GAN's trial, in addition to those of every training: one network has lost."""

from records.outcome import Outcome

DISCRIMINATOR_WON = Outcome(
    "discriminator won", "stopped", "ended: the discriminator won outright", "<"
)
GENERATOR_COLLAPSED = Outcome(
    "generator collapsed", "stopped", "ended: the generator collapsed", ">"
)
OUTCOMES = (DISCRIMINATOR_WON, GENERATOR_COLLAPSED)
