/** The ARN of a CA, and what it names. */
export interface CaArn {
  readonly text: string;
  /** `aws`, `aws-cn`, `aws-us-gov`. */
  readonly partition: string;
  readonly region: string;
}

const ARN =
  /^arn:(aws(?:-[a-z-]{1,20})?):acm-pca:([a-z0-9-]{1,64}):\d{12}:certificate-authority\/[\w-]{1,64}$/;

/** Reads the ARN of a CA; undefined for anything else. */
export function parseCaArn(text: string): CaArn | undefined {
  const [, partition, region] = ARN.exec(text) ?? [];
  return partition === undefined || region === undefined ? undefined : { text, partition, region };
}
