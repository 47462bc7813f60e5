import { defineErrors } from './define.ts';

/** Refusals of configuration, process start and local files. */
export const configErrors = defineErrors({
  CONFIG_UNREADABLE: {
    status: 'InvalidArgument',
    retryable: false,
    means: 'The configuration file cannot be read, or is larger than 1 MiB.',
    action: 'Name an existing file that this process may read.',
  },
  CONFIG_SYNTAX: {
    status: 'InvalidArgument',
    retryable: false,
    means: 'The configuration file is not one well-formed YAML document.',
    action: 'Correct the line that the message names.',
  },
  CONFIG_INVALID: {
    status: 'InvalidArgument',
    retryable: false,
    means: 'The configuration has unknown keys or values that are not allowed.',
    action: 'Correct the keys that the message names; `validate` lists them all.',
  },
  CONFIG_NOT_RELOADABLE: {
    status: 'FailedPrecondition',
    retryable: false,
    means: 'A changed setting takes effect only at a restart.',
    action: 'Restart the process, or take the change back.',
  },
  DATA_DIR_UNUSABLE: {
    status: 'FailedPrecondition',
    retryable: false,
    means: 'The data directory cannot be made or opened.',
    action: 'Create it for the user that runs the process, on a disk with room.',
  },
  DATA_DIR_UNSAFE: {
    status: 'FailedPrecondition',
    retryable: false,
    means: 'The data directory belongs to somebody else, or others may write to it.',
    action: 'Give it to the user that runs the process and set its mode to 0700.',
  },
  DATA_DIR_LOCKED: {
    status: 'FailedPrecondition',
    retryable: false,
    means: 'Another running process uses the data directory.',
    action: 'Stop the other process, or give this one a directory of its own.',
  },
  FILE_UNREADABLE: {
    status: 'FailedPrecondition',
    retryable: false,
    means: 'A file cannot be read, or is larger than it may be.',
    action: 'Check that the file exists, its owner, its mode and its size.',
  },
  FILE_UNWRITABLE: {
    status: 'FailedPrecondition',
    retryable: false,
    means: 'A file cannot be written; what it held before is untouched.',
    action: 'Check the owner and mode of its directory and that the disk is not read-only.',
  },
  DISK_FULL: {
    status: 'ResourceExhausted',
    retryable: true,
    means: 'A file cannot be written because the disk or quota is full; what it held is untouched.',
    action: 'Free space on the disk that holds the data directory.',
  },
  START_INTERRUPTED: {
    status: 'Unavailable',
    retryable: true,
    means: 'The process was told to stop while it was starting.',
    action: 'Start it again.',
  },
});
