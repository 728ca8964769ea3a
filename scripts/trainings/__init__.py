"""The queue of trainings behind `scripts/train_queue`: one model after another, over many days and machines."""
