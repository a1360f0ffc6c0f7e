# Both commands of the README in a container: a search, and the tests. docs/containers.md has the commands.
FROM python:3.12-slim-bookworm

# For the tests of boards over SSH and of the page, and for the types of its scripts, as in .ci/run.
# A test asks git, and playwright's own program needs libatomic1, which slim images lack.
# hadolint ignore=DL3008
RUN apt-get update \
    && apt-get install --yes --no-install-recommends openssh-server chromium npm git libatomic1 \
    && rm -rf /var/lib/apt/lists/*

# Files in mounted folders are to be yours: --build-arg USER_ID="$(id -u)" --build-arg GROUP_ID="$(id -g)".
ARG USER_ID=1000
ARG GROUP_ID=1000
RUN groupadd --non-unique --gid "$GROUP_ID" user \
    && useradd --non-unique --uid "$USER_ID" --gid "$GROUP_ID" --create-home --shell /bin/bash user \
    && install --directory --owner="$USER_ID" --group="$GROUP_ID" /project /opt/venv
# hadolint ignore=DL3066
USER user
ENV PATH=/opt/venv/bin:$PATH
WORKDIR /project

# PyTorch without CUDA saves gigabytes; --build-arg TORCH_INDEX=https://pypi.org/simple has it with CUDA.
ARG TORCH_INDEX=https://download.pytorch.org/whl/cpu
COPY --chown=user:user pyproject.toml ./
RUN python -m venv /opt/venv \
    && python -c "import tomllib; project = tomllib.load(open('pyproject.toml', 'rb'))['project']; print(*project['dependencies'], *project['optional-dependencies']['test'], sep='\n')" > /tmp/requirements.txt \
    && grep '^torch[<>=]' /tmp/requirements.txt > /tmp/torch.txt \
    && pip install --no-cache-dir --index-url "$TORCH_INDEX" --requirement /tmp/torch.txt \
    && pip install --no-cache-dir --requirement /tmp/requirements.txt

COPY --chown=user:user . .
RUN pip install --no-cache-dir --no-deps --editable .

CMD ["python", "scripts/pareto_search.py"]
