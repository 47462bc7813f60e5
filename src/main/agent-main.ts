import { agentCommands } from './agent-commands.ts';
import { runProgram } from './program.ts';

/** The program of agent packages (docs/dpu-agent.md): what a node needs, and no server. */
await runProgram(agentCommands);
