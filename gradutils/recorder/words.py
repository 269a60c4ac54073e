"""What is to be done about each illness, and the cheap run that tells it from another."""

REMEDIES = {
    "healthy": "Nothing to mend.",
    "parts not registered": "Hold modules in an nn.ModuleList or nn.ModuleDict and tensors as nn.Parameter, before the optimizer is made.",
    "loss does not fit the outputs": "Give the loss what it is made for: logits to a cross entropy, outputs and targets of one shape, targets in reach.",
    "half-precision overflow": "Lower the loss scale, or let torch.amp.GradScaler find it; bfloat16 does not overflow.",
    "not a number": "Mend the place named; torch.autograd.set_detect_anomaly(True) names the line of the forward pass.",
    "weights do not move": "Make the optimizer from this model's parameters and with a rate above 0, and look what stands between the loss and them.",
    "evaluation mode": "Call model.train() before training, and again after each evaluation.",
    "gradients not cleared": "Call optimizer.zero_grad() before each backward pass.",
    "dead units": "Lower the learning rate or draw the biases anew; leaky ReLU keeps a slope where ReLU has none.",
    "saturated": "Draw smaller weights and biases, or use an activation without an upper bound.",
    "zero gradient": "Look for a detach(), a ReLU after the last layer, or weights that are all zero; draw the weights at random.",
    "inputs not normalised": "Subtract the mean of the training inputs and divide by their standard deviation.",
    "targets not normalised": "Subtract the mean of the training targets and divide by their standard deviation; undo it when predicting.",
    "loss summed": "Average the loss over the batch, or divide the learning rate by the number of terms.",
    "recurrent explosion": "Scale the recurrent weights to a spectral radius of 1 or less, or start them orthogonal, and clip.",
    "init too small": "Draw weights of variance 2/fan_in for ReLU, 1/fan_in for tanh; or normalise each layer.",
    "dead signal": "Keep the samples apart: fewer layers, skip connections, tanh or ReLU in place of the sigmoid.",
    "init too large": "Draw weights of variance 2/fan_in for ReLU, 1/fan_in for tanh; or normalise each layer.",
    "learning rate too high": "Divide the learning rate by 10; if it is needed later, warm up to it.",
    "attention logits grow": "Normalise queries and keys, or lower the learning rate.",
    "relapse": "Go back to a checkpoint from before, look at the batch of that step, and clip the gradient's norm.",
    "one answer": "Weigh rare classes more in the loss, or draw them more often.",
}  # fmt: skip
# More to the point than the remedy of its illness, where the reason is known.
MENDS = {
    "cut": "Look for detach(), .item(), .data, torch.no_grad() or a new torch.tensor between the model and the loss.",
    "another optimizer": "Make the optimizer from the parameters of the model that trains, after it was built, loaded and moved for the last time.",
    "rate": "Give the optimizer a rate above 0, and look what the schedule makes of it at the first steps.",
    "no step": "Call optimizer.step() after each backward pass, on an optimizer that holds this model's parameters.",
    "digits": "Keep the weights in float32 and compute under torch.autocast, or raise the rate.",
    "small": "Raise the rate; if gradients are clipped, clip after scaler.unscale_(optimizer), not before.",
    "eps": "Lower the optimizer's eps far below the gradients; torch's own is 1e-8.",
    "severed": "Look for a detach(), a no_grad() or a loss that is not added between these parameters and what goes backward; "
    "set requires_grad to False where they are to rest.",
    "forgotten": "Give all of model.parameters() to the optimizer, or set requires_grad to False where a part should rest.",
    "between": "Record every step, Recorder(model, every=1), and run again: then the place is named.",
    "weights": "Look at what fills and loads these weights: torch.empty, a broken checkpoint, or a change outside of the optimizer.",
    "input": "Look at the data of that step: drop or fill what is not finite before it reaches the model.",
    "activation": "Look for a division, a root, a logarithm or a softmax of nothing but -inf in that layer, and keep its argument away from the edge.",
    "loss": "Keep the arguments of logarithms, roots and divisions in the loss away from 0, or use the forms that torch offers of logits.",
    "delta": "Look for a root or a norm of 0, or a torch.where that hides a bad branch: add a small number inside the root.",
    "gradient": "Look for a root or a norm of 0 in that layer or of its weight: add a small number inside the root.",
    "update": "Raise the optimizer's eps above the smallest number of the weights' dtype (1e-4 for float16), or keep the weights in float32.",
    "accumulated": "Divide the loss of each micro-batch by their number before backward().",
    "alike": "Lower the weight decay and the rate, weigh the terms of the loss anew, and see by mixes_samples(model, batch) whether samples mix.",
    "leapt inputs": "Go back to a checkpoint from before, and look at the data of that step: bound or drop what lies so far out.",
    "leapt gradient": "Go back to a checkpoint from before, and clip the gradient's norm at what was usual until then.",
    "leapt update": "Go back to a checkpoint from before, lower the learning rate there, and clip the gradient's norm.",
    "leapt update of Adam": "Go back to a checkpoint from before, and from there lower beta2, warm the rate up again or clip the update: the "
    "gradient did not leap, so a clip of its norm cuts little.",
    "order": "Call recorder.step(loss) after optimizer.step() and before the gradients are cleared, and record again.",
    "runaway": "Compute the targets with a copy of the network that is held still for many steps, or detach and bound them.",
}  # fmt: skip
# Said where no rule holds and nothing is learnt either, or little.
UNNAMED = (
    "No illness is named, and nothing is learnt. Hand a batch to gradutils.recorder.mixes_samples(model, batch), print inputs, "
    "outputs and targets of a few samples side by side, and try to fit ten samples alone."
)
LITTLE = "It learns, but little. If more can be had: raise the rate, train longer, or look at the targets and the data."
UNSURE = "Whether it learns is hidden by the noise of the batches: train longer, or on larger batches."
UNCLEAR = "Judge it by another measure than the loss, such as a score on samples that were held back."
RERUNS = {
    "learning rate too high": "Run again at a tenth of the learning rate: this cures it, and hardly ever cures a bad init.",
    "attention logits grow": "Run again with queries and keys divided by their RMS, at the same rate: if it trains, it was the logits.",
    "missing warmup": "Run again with the learning rate rising over the first 50 steps: only this tells the two apart.",
    "init too large": "Run again at a tenth of the learning rate: if the loss still starts far too high, it is the init.",
    "loss summed": "Look whether the loss changes with the batch size.",
    "init too small": "Print the standard deviation of each layer's output: it shrinks from layer to layer.",
    "dead signal": "Run 60 steps more, or with Adam: a long plateau ends, a dead signal stays.",
    "recurrent explosion": "Run again on shorter sequences: the gradient shrinks.",
    "saturated": "Run again with the weights and biases halved.",
    "inputs not normalised": "Run again with inputs of mean 0 and standard deviation 1.",
    "targets not normalised": "Run again with targets of mean 0 and standard deviation 1.",
    "relapse": "Run again without the batch of that step: if it is lost elsewhere, it is not the batch.",
    "one answer": "Train on ten samples alone: a network that still gives one answer has lost its inputs on the way.",
    "evaluation mode": "Print model.training in the loop.",
    "half-precision overflow": "Run again in float32: an overflow of half precision is gone, a bad operation is not.",
    "not a number": "Run the same step again in float64: what only overflowed is gone, a bad operation is not.",
}  # fmt: skip
