"""What a run tells of itself, before and after it went on."""

from pathlib import Path

from tensorboard.backend.event_processing.event_accumulator import EventAccumulator

from train.runlog import RunLog


def test_a_run_that_goes_on_keeps_what_it_logged_up_to_its_state(tmp_path: Path):
    for begin, logged in ((0, (100, 200, 300)), (200, (400,))):  # cut short beyond the state at 200
        log = RunLog(tmp_path, begin, 400)
        for images in logged:
            log.write_losses({"recon": images / 100}, images)
        log.close()
    events = EventAccumulator(str(tmp_path / "tensorboard"))
    events.Reload()
    assert [(event.step, event.value) for event in events.Scalars("loss/recon")] == [(100, 1), (200, 2), (400, 4)]
