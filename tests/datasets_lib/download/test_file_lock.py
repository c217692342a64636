import threading

from datasets_lib.download.file_lock import held, make_folder


def test_a_folder_that_is_renamed_while_others_make_it_is_made_anew(tmp_path):
    # Holders rename it at once, so that many find it there and gone a moment later.
    place, done, errors = tmp_path / "place", tmp_path / "done", []
    done.mkdir()

    def hold(thread):
        try:
            for turn in range(150):
                with held(place, make_folder):
                    place.rename(done / f"{thread}-{turn}")
        except OSError as error:
            errors.append(error)

    threads = [threading.Thread(target=hold, args=(number,)) for number in range(6)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert errors == []
    assert len(list(done.iterdir())) == 6 * 150
    assert not place.exists()
