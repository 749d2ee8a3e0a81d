"""
The backend of SBX: algorithms of SB3 in JAX, with the face that SB3's models have.

- ``models``: its classes, which save themselves without pickles as well
- ``signature``: what stands in the hyperparameters: SB3's names and defaults
- ``translating``: from arguments for SB3 to arguments for SBX, and what these leave out
- ``states``: networks, optimizers and random keys as flax's bytes
- ``description``: what a policy is made of, as JSON can hold it
- ``loading``: from a file to a model, with nothing of it executed
"""
