// SPDX-License-Identifier: Apache-2.0

package control

// EnvMaxConcurrency is the variable by which Lambda runtimes learn how many events they may take at once.
const EnvMaxConcurrency = "AWS_LAMBDA_MAX_CONCURRENCY"

// bridged refuses a contract that the image was not made for: functions of contract lambda need the bridge to their runtime in it. It
// also gives such a function its default concurrency, which is that of AWS. made is the contract that a new image names.
func (c *Config) bridged(d *Deployment, made string, old *Function) error {
	was := made
	if d.Image == "" && old != nil {
		was = old.Wanted().Contract
	}
	switch wanted := c.Contract == ContractLambda; {
	case wanted && was != ContractLambda:
		return invalid("image %s has no bridge to a Lambda runtime: make it with unifaas build or deploy SOURCE --contract lambda", clip(c.ImageName))
	case !wanted && was == ContractLambda:
		return invalid("image %s was made for contract lambda: make another one for %s", clip(c.ImageName), c.Contract)
	case wanted && d.Image != "" && d.Concurrency == nil:
		c.Concurrency = 1
	}
	return nil
}
