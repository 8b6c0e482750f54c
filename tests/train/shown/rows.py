"""The steps of the losses over a run that was started anew and resumed."""
import sys

from tensorboard.backend.event_processing.event_accumulator import EventAccumulator

e = EventAccumulator(sys.argv[1])
e.Reload()
print([x.step for x in e.Scalars("train/loss")], [x.step for x in e.Scalars("val/loss")])
