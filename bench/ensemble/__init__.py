"""Ensembles of finished runs, made of the scores and maps they keep; nothing is trained again."""
