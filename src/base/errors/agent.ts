import { defineErrors } from './define.ts';

/** Refusals of the agent section: the agent's own standing, and what it tells workloads. */
export const agentErrors = defineErrors({
  JOIN_TOKEN_MALFORMED: {
    status: 'InvalidArgument',
    retryable: false,
    means: 'A join token is empty, too long, or has characters that an agent ID cannot hold.',
    action: 'Take the token as `signet token generate` printed it, whole and unquoted.',
  },
  AGENT_JOIN_TOKEN_MISSING: {
    status: 'FailedPrecondition',
    retryable: false,
    means: 'The agent has to attest and has no join token.',
    action:
      'Run `signet token generate` on the server and give the token in join.token or join.tokenPath.',
  },
  AGENT_DPU_SERIAL: {
    status: 'FailedPrecondition',
    retryable: false,
    means: 'The agent is to attest by its DPU and does not know the serial number of the card.',
    action: 'Set attestation.dpu.serial, or serialPath to a file that holds it.',
  },
  AGENT_DPU_KEY: {
    status: 'FailedPrecondition',
    retryable: false,
    means:
      'The file of the key that the agent of a DPU is known by is damaged; no other key is made in its place.',
    action:
      'Restore the file. Where it is lost, remove it and commission the DPU anew with `signet dpu commission`.',
  },
  AGENT_DPU_TARGET: {
    status: 'FailedPrecondition',
    retryable: false,
    means:
      'The server wants evidence of a component of the card, and the agent does not know where it answers.',
    action:
      'Name the component in attestation.dpu.direct.targets, or take the kind off the server.',
  },
  AGENT_X509POP_FILES: {
    status: 'FailedPrecondition',
    retryable: false,
    means: 'The certificate or key that the agent attests with cannot be used.',
    action:
      'Correct attestation.x509pop or attestation.dpu.key in agent.yaml, or the file that the message names.',
  },
  AGENT_BOOTSTRAP_BUNDLE: {
    status: 'FailedPrecondition',
    retryable: true,
    means: 'The bootstrap bundle cannot be read, or holds no X.509 authority.',
    action:
      'Write the bundle with `signet bundle show`, or have the server publish it, and check bootstrap.bundlePath and bundleFormat; the agent reads the file at each attempt.',
  },
  AGENT_STATE_CORRUPT: {
    status: 'DataLoss',
    retryable: false,
    means: "The agent's state file is damaged or not its own.",
    action: 'Remove agent-state.json from the data directory and give the agent a new join token.',
  },
  AGENT_STATE_FOREIGN: {
    status: 'FailedPrecondition',
    retryable: false,
    means: 'The data directory holds the state of an agent of another trust domain.',
    action: 'Point dataDir at another directory, or correct trustDomain.',
  },
  AGENT_ATTESTATION_REFUSED: {
    status: 'PermissionDenied',
    retryable: false,
    means: 'The server refused the node attestation.',
    action:
      'The message says why; the server\'s log of the same moment says more. A join token works once and expires: make a new one. For a DPU, "signet dpu show SERIAL" names its state and reason.',
  },
  AGENT_MUST_ATTEST: {
    status: 'Unauthenticated',
    retryable: false,
    means: 'The server no longer accepts the SVID of this agent; it has to attest again.',
    action:
      'Agents that attest by hardware, certificate or Kubernetes do so by themselves. Give one that joined by a token a new token and start it again.',
  },
  AGENT_SERVER_UNAVAILABLE: {
    status: 'Unavailable',
    retryable: true,
    means: 'The server cannot be reached, or cannot answer now.',
    action: 'Check server.address and that the server runs; the agent goes on trying.',
  },
  AGENT_SERVER_REFUSED: {
    status: 'FailedPrecondition',
    retryable: false,
    means: 'The server refused a request of the agent.',
    action: "Read the server's log for the same moment.",
  },
  AGENT_SERVER_ANSWER: {
    status: 'Internal',
    retryable: true,
    means: 'An answer of the server makes no sense: a field is missing, or does not verify.',
    action: 'Check that server and agent have compatible versions, and both clocks.',
  },
  AGENT_CLOCK_SKEW: {
    status: 'FailedPrecondition',
    retryable: true,
    means: "The clocks of agent and server differ so much that the agent's SVID is not valid now.",
    action: 'Synchronise the clocks of both machines.',
  },
  AGENT_PROCESS_UNREADABLE: {
    status: 'Unavailable',
    retryable: true,
    means: 'What the kernel states about a calling process cannot be read or contradicts itself.',
    action:
      'Run the agent in the host PID namespace with access to /proc; a hidepid mount needs an exception.',
  },
  AGENT_BINARY_UNREADABLE: {
    status: 'Unavailable',
    retryable: true,
    means: "A calling process's binary cannot be hashed, or is larger than maxHashBytes.",
    action: 'Raise workloadAttestors.unix.maxHashBytes, or set it to 0B to do without sha256.',
  },
  AGENT_CONTAINER_LAYOUT: {
    status: 'Unavailable',
    retryable: true,
    means:
      'The cgroup of a calling process looks like that of a container and is in no layout that is known, or contradicts itself.',
    action:
      'See /proc/PID/cgroup and the table in docs/workload-attestation.md; containers of a user and containers in containers have no identity of their own.',
  },
  AGENT_POD_UNKNOWN: {
    status: 'Unavailable',
    retryable: true,
    means:
      'The container of a calling process is in no pod of this node that is known, or in another one.',
    action:
      'Wait: a container that has just started is not in the status of its pod yet. If it lasts, see which source of pods is in use.',
  },
  AGENT_POD_SOURCE: {
    status: 'Unavailable',
    retryable: true,
    means: 'The pods of this node cannot be read from a source, or from any.',
    action:
      'Correct what the message names under workloadAttestors.k8s; it is tried again by itself.',
  },
  AGENT_ENGINE: {
    status: 'Unavailable',
    retryable: true,
    means: 'A container engine does not say what is known of a container, or does not know it.',
    action:
      'Check that the engine runs and that its socket is where workloadAttestors says; the agent needs access to it.',
  },
  AGENT_UNIT_UNKNOWN: {
    status: 'Unavailable',
    retryable: true,
    means: 'The unit that a calling process belongs to is not told by systemd.',
    action:
      'Check that busctl is installed and that the agent can reach the system bus; a process without a unit cannot be attested.',
  },
  AGENT_JOB_UNKNOWN: {
    status: 'Unavailable',
    retryable: true,
    means: 'Slurm does not say what is known of the job that a calling process belongs to.',
    action: 'Check workloadAttestors.slurm and that the agent can ask the Slurm controller.',
  },
  WORKLOAD_HEADER_MISSING: {
    status: 'InvalidArgument',
    retryable: false,
    means: 'A Workload API call came without the metadata `workload.spiffe.io: true`.',
    action: 'Use a SPIFFE client library, or send the metadata exactly once.',
  },
  WORKLOAD_ATTESTATION_FAILED: {
    status: 'Unavailable',
    retryable: true,
    means: 'The calling process could not be attested, or is gone.',
    action: "Read the agent's log: it names the attestor and the reason.",
  },
  WORKLOAD_NOT_READY: {
    status: 'Unavailable',
    retryable: true,
    means: 'The agent has not yet heard from the server which identities it serves.',
    action: 'Wait; if it lasts, see why the agent cannot attest or reach the server.',
  },
  WORKLOAD_NO_IDENTITY: {
    status: 'PermissionDenied',
    retryable: false,
    means: 'No registration entry of this node fits the calling process.',
    action: 'Create an entry whose selectors the process has, with this agent as parent.',
  },
  WORKLOAD_LIMIT: {
    status: 'Unavailable',
    retryable: true,
    means: 'A limit on Workload API streams or calls is reached.',
    action: 'Find the process that keeps so many streams, or raise the limit in limits.',
  },
  WORKLOAD_SVID_MISSING: {
    status: 'InvalidArgument',
    retryable: false,
    means: 'ValidateJWTSVID was called without a token.',
    action: 'Send the token in `svid`.',
  },
  WORKLOAD_SPIFFE_ID_INVALID: {
    status: 'InvalidArgument',
    retryable: false,
    means: 'The SPIFFE ID that a workload asked for is malformed.',
    action: 'Correct the SPIFFE ID.',
  },
  WORKLOAD_TOKEN_INVALID: {
    status: 'InvalidArgument',
    retryable: false,
    means: 'A JWT-SVID does not validate.',
    action:
      'Ask the sender for a new token, made for this audience; the message says which rule this one breaks.',
  },
  WORKLOAD_JWT_UNAVAILABLE: {
    status: 'Unavailable',
    retryable: true,
    means: 'The server did not sign a JWT-SVID, and none is cached.',
    action: 'See why the server cannot be reached or refuses.',
  },
  WORKLOAD_WIT_UNSUPPORTED: {
    status: 'Unimplemented',
    retryable: false,
    means: 'WIT-SVIDs are not served.',
    action: 'Use X.509- or JWT-SVIDs.',
  },
});
