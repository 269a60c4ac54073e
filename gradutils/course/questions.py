"""The questions on earlier lessons: what `recall` asks in a lesson, and what `review` brings back days later."""

from dataclasses import dataclass


@dataclass(frozen=True)
class Question:
    """A question with one right option.

    after     the exercise whose pass brings the question into the review
    because   why the right option is right
    wrong     each other option -> why it is wrong
    """

    after: str
    question: str
    right: str
    because: str
    wrong: dict[str, str]

    @property
    def options(self) -> list[str]:
        """All options in an order that knows nothing of the right one: the alphabet's."""
        return sorted([self.right, *self.wrong])


# Those of lesson 00 wait for lesson 01. So `review` in lesson 00 says the same on every first day.
# fmt: off
QUESTIONS = {
    "00.r1": Question(
        "01.1", "A signal is multiplied by 1.1 in each of 100 layers. In the end it is larger by a factor of about…",
        "14,000", "The factor is 1.1 to the power 100, because each layer multiplies what the last one left.",
        {"10": "That adds a tenth per layer. But every layer takes its tenth of a larger signal.",
         "110": "That is 1.1 times 100. The layers follow one another, so their factors multiply."}),
    "00.r2": Question(
        "01.1", "A signal is multiplied by 0.9 in each of 100 layers. Of its size remain about…",
        "3 parts in 100,000", "0.9 to the power 100 is that small, because no layer adds anything back.",
        {"1 part in 100": "That is left after 44 layers already, because 0.9 to the power 44 is 0.01.",
         "1 part in 10": "That is left after 22 layers already, because 0.9 to the power 22 is 0.1."}),
    "00.r3": Question(
        "01.1", "The root mean square of the four numbers 3, 4, 0, 0 is…",
        "2.5", "The squares sum to 25. Their mean over four numbers is 6.25, and its root is 2.5.",
        {"1.75": "That is the mean. The rms squares first, because signs must not cancel.",
         "5": "That is the length. The rms divides by the count, so that widths can be compared."}),
    "00.r4": Question(
        "01.1", "A signal grows by the same factor in every layer. On a logarithmic axis it is…",
        "a straight line", "The logarithm turns equal factors into equal steps, so the line rises evenly.",
        {"a curve that bends upwards": "So it looks on a linear axis, because there equal factors are growing steps.",
         "a curve that flattens": "That would be a factor that falls with depth, but here it is the same everywhere."}),
    "00.r5": Question(
        "01.1", "A signal grows by a factor of 1.1 per layer. It has doubled after about…",
        "7 layers", "1.1 to the power 7 is 1.95, because the tenths are taken of a growing signal.",
        {"10 layers": "Ten added tenths would double it. The factors multiply, so it takes fewer layers.",
         "70 layers": "By then it is 800 times as large, because it doubles every seven layers."}),
    "01.r1": Question(
        "01.1", "A valley has the curvature 4, the rate is 0.55. A step of gradient descent multiplies x by…",
        "-1.2", "The factor is 1 - lr times curvature, because the gradient is curvature times x.",
        {"0.45": "That is 1 - lr. The curvature is missing, and it multiplies the rate first.",
         "2.2": "That is lr times curvature. The step subtracts it from 1, which leaves -1.2."}),
    "01.r2": Question(
        "01.3", "The largest curvature of a valley is 50. Plain descent diverges above the rate…",
        "0.04", "The limit is 2 / curvature, because there the factor of a step is exactly -1.",
        {"0.02": "That is 1 / curvature, the best rate: one step lands in the minimum, as the factor is 0.",
         "0.08": "That is far above the limit: the factor is -3, so each step triples the distance."}),
    "01.r3": Question(
        "01.3", "A valley has the curvatures 100 and 1, the rate is 0.01. After 50 steps what is still far off?",
        "the flat direction", "Its factor is 0.99 per step, because the steep direction limits the rate of both.",
        {"the steep direction": "Its factor is 1 - 0.01 times 100, which is 0, so one step was enough.",
         "both alike": "Each direction has a curvature of its own, and so a factor of its own."}),
    "01.r4": Question(
        "01.4", "Heavy ball with beta = 0.9 diverges where rate times curvature passes…",
        "3.8", "The edge is 2 + 2 beta, because the velocity works against a step that changes sides.",
        {"2.0": "That is the edge of plain descent. Momentum moves it, because the last move counts too.",
         "0.2": "That is 2 - 2 beta. But momentum widens the range of rates, it does not narrow it."}),
    "01.r5": Question(
        "01.5", "A run starts at x = 1, and its factor is -1.2 per step. It passes float32's limit of 3e38 after…",
        "some 490 steps", "The number is ln(3e38) / ln(1.2), because the sizes multiply from step to step.",
        {"some 40 steps": "That would need a factor of 10 per step, because the limit has 38 zeros.",
         "no number of steps": "Only its sign alternates. Its size grows by a fifth in every step, without a bound."}),
    "02.r1": Question(
        "02.1", "z = h @ W.T, and delta is the derivative of L with respect to z. That with respect to W is…",
        "delta.T @ h", "Entry (i, j) sums delta[i] h[j] over the batch, because W[i, j] joins just these two.",
        {"delta @ W": "That is the derivative with respect to h, because each h[j] reaches z through column j.",
         "h.T @ delta": "It has the shape of W.T. The product holds W transposed, so the order turns."}),
    "02.r2": Question(
        "02.1", "The bias b is added to every row of z. The derivative of L with respect to b is…",
        "delta, summed over the batch", "Every row uses the same b, and the effects of all uses add up.",
        {"delta, averaged over the batch": "A mean belongs to the loss. If L is one, delta holds its 1/B already.",
         "a vector of ones": "That is how z depends on b. The chain rule still multiplies it by delta."}),
    "02.r3": Question(
        "02.4", "A tensor is used in two places of a network. Its gradient is…",
        "the sum of two gradients", "Both uses move the loss, and small changes of the loss add up.",
        {"the product of two gradients": "Factors multiply along one way. These are two ways, side by side.",
         "the gradient of the later use": "The earlier use moves the loss as well, so leaving it out is wrong."}),
    "02.r4": Question(
        "02.3", "In float32 (u is 1e-7) the central difference is most exact with an eps near…",
        "5e-3, the cube root of u", "There bend and rounding balance, because one goes as eps squared, one as u / eps.",
        {"3e-4, the square root of u": "That suits the one-sided difference, because its error goes as eps and not its square.",
         "1e-7, u itself": "There the two values differ by rounding alone, because eps is as small as u."}),
    "02.r5": Question(
        "02.4", "Twenty random matrices, one after the other, act on a circle of arrows. The arrows then…",
        "lie along one line", "Each matrix stretches some directions more, and along the way these stretchings multiply.",
        {"point everywhere, as before": "Only rotations keep a circle. Random matrices stretch directions unequally.",
         "form an oval, as after one": "Each further matrix stretches the oval again, so its ratio grows with depth."}),
    "03.r1": Question(
        "03.1", "In a wide network a layer multiplies the squared gradient by chi_1, which is…",
        "sigma_w^2 E[phi'(z)^2]", "A gradient passes through weights and slopes, and both enter with their squares.",
        {"sigma_w^2 E[phi(z)^2]": "That is the signal of the next layer, because it is made of values, not slopes.",
         "sigma_w E[phi'(z)]": "The squared gradient is asked for, so weights and slopes are squared as well."}),
    "03.r2": Question(
        "03.1", "ReLU at sigma_w = 2. Per layer the size of the gradient grows by a factor of…",
        "1.41", "chi_1 is sigma_w^2 / 2, which is 2. The size takes the root, because chi_1 is for squares.",
        {"1.00": "That holds at sigma_w = sqrt(2), because only there chi_1 = sigma_w^2 / 2 is 1.",
         "2.00": "That is chi_1, the factor of the squared gradient. The size takes its root."}),
    "03.r3": Question(
        "03.2", "On its way forward a ReLU signal overflows to inf in layer 30. The first NaN stands in…",
        "layer 31", "The next sum meets inf - inf, because weights have both signs, and that is NaN.",
        {"layer 30": "An overflow gives inf, which is a number. NaN needs an operation such as inf - inf.",
         "the loss": "It does not wait so long, because every sum over both signs makes NaN of inf."}),
    "03.r4": Question(
        "03.3", "A deep ReLU network explodes, yet its weight gradients have one size in all layers. Why?",
        "The signal grows forwards as delta grows backwards.",
        "dW = delta.T @ h is a product, so growth of the one hides behind the other.",
        {"Its delta does not grow in these layers.": "It does grow backwards. Only the product with a small signal hides it.",
         "Each layer's gradient is a mean over the batch.": "That scales all layers alike, so it cannot even out a growth."}),
    "03.r5": Question(
        "03.2", "Deep tanh layers, sigma_w = 4. How does the training fail?",
        "The loss stays finite and does not fall.", "The values are bounded, so nothing overflows, but the gradient is noise.",
        {"The loss becomes a NaN in a few steps.": "tanh bounds every signal, so no sum on the way forward overflows.",
         "It does not, because slopes are at most 1.": "The weights multiply as well, and at this scale they win over the slopes."}),
    "04.r1": Question(
        "04.2", "What an activation does to the squared gradient is decided by…",
        "its mean squared slope at the signal", "A unit stands where its z puts it, so slopes elsewhere do not count.",
        {"its largest slope": "That lies at one place, and most units stand elsewhere because z is spread.",
         "the bound of its values": "That limits the signal. A gradient passes through slopes and weights instead."}),
    "04.r2": Question(
        "04.3", "The critical scales of ReLU and of tanh are…",
        "sqrt(2) and 1", "ReLU removes half of the squared gradient, so that its weights must make up for it.",
        {"1 and sqrt(2)": "At 1 ReLU loses half of the squared gradient per layer, so it needs the larger scale.",
         "1 and 1": "That is Xavier's scale, derived for straight lines. ReLU lets only half through."}),
    "04.r3": Question(
        "04.6", "A unit of the first ReLU layer is 0 for every image. Further steps of plain descent…",
        "leave its weights as they are", "Its slope is 0 for every image, so its weights get no gradient at all.",
        {"bring it back slowly": "A small slope could do that, as in a leaky ReLU. This one is exactly 0.",
         "shrink its weights": "Only a gradient or weight decay moves weights, and here there is neither."}),
    "04.r4": Question(
        "04.3", "A tanh network at sigma_w = 1 gets random biases. Going back, its gradient now…",
        "shrinks by a factor in each layer", "Biases enlarge q, so units stand further out, where the slopes of tanh are smaller.",
        {"stays as it was without biases": "A bias passes no gradient on, but it moves z, and the slope is taken at z.",
         "grows by a factor in each layer": "Only the weights enlarge a gradient, and these are as before. The slopes became smaller."}),
    "05.r1": Question(
        "05.1", "A linear layer from 100 to 400 units, weights of variance 1/100. Going back, the squared gradient gets…",
        "4 times as large", "Its sum has fan-out = 400 terms of variance 1/100, and 400/100 is 4.",
        {"1 times as large": "That is the signal going forwards, because its sum has fan-in = 100 terms.",
         "1/4 as large": "It is the other way round: the sum back has more terms than the variance allows for."}),
    "05.r2": Question(
        "05.5", "50 ReLU layers, all norms are even, and nothing is learnt. What do you look at?",
        "the cosine between two inputs", "Inputs may have become one direction, and a norm cannot show that.",
        {"the norms of each layer's delta": "They are even, as was said. A signal that is the same for all has good norms too.",
         "the largest curvature": "It limits the rate. No rate tells inputs apart that have become one direction."}),
    "05.r3": Question(
        "05.1", "nn.Linear draws with variance 1/(3n). With ReLU delta is multiplied per layer by…",
        "0.41", "chi_1 is sigma_w^2 / 2, which is 1/6 here, and the root of it is 0.41.",
        {"0.71": "That is the root of 1/2, for sigma_w = 1. The default's sigma_w is smaller, 1/sqrt(3).",
         "1.00": "That is He's scale, because it takes sigma_w^2 = 2 to make up for ReLU."}),
    "05.r4": Question(
        "05.5", "Two inputs at a right angle pass a wide ReLU layer with random weights. Their cosine is then about…",
        "0.32", "ReLU leaves no negative values, so no unit counts against their likeness any more.",
        {"0.00": "A rotation keeps a right angle. ReLU then removes every product that was negative.",
         "1.00": "That takes many layers. Each brings the two closer, because all its values are positive."}),
    "06.r1": Question(
        "06.2", "Which clip keeps the direction of the gradient?",
        "by norm, all tensors together", "It multiplies all entries by one factor, and that turns nothing.",
        {"by norm, each tensor alone": "Each tensor gets a factor of its own, so the whole vector turns.",
         "by value, each entry alone": "Large entries are cut and small ones are not, so the direction turns."}),
    "06.r2": Question(
        "06.4", "Plain descent, and every step is clipped by norm. Twice the threshold does the same as…",
        "twice the rate", "Each step has the length rate times threshold, so that only their product counts.",
        {"half the rate": "That halves the length of a step, and twice the threshold doubles it.",
         "no change at all": "That is so where nothing is clipped. Here the threshold sets the length."}),
    "06.r3": Question(
        "06.5", "The gradient is 1, 2, inf. After a clip by norm at 1 it is…",
        "0, 0, NaN", "The factor is 1 / inf = 0. It makes 0 of what is finite, and NaN of inf.",
        {"1, 1, 1": "So a clip by value would leave it, because it looks at each entry alone.",
         "NaN, NaN, NaN": "So it is with a NaN in it: the norm is NaN then. Here the norm is inf."}),
    "06.r4": Question(
        "06.4", "Adam, and every step is clipped by norm. Twice the threshold does the same as…",
        "no change at all", "Both of Adam's means carry the threshold, and their ratio does not. Only epsilon is left.",
        {"twice the rate": "So it is in plain descent, where the gradient sets the length. Adam divides by its size.",
         "half the rate": "That would halve each step. The threshold is in both of Adam's means and drops out."}),
    "07.r1": Question(
        "07.2", "Full batch, tanh, squared error, rate 0.4. In training the sharpness rises…",
        "to about 5, and stays there", "Above 2 / lr the run bounces to flatter places, and below it sharpness goes on rising.",
        {"past 5, and the run diverges": "A quadratic would diverge. This loss is flatter elsewhere, and the bouncing leads there.",
         "to about 2.5, and stays there": "That is 1 / lr. Nothing pushes back before 2 / lr, so it goes on rising."}),
    "07.r2": Question(
        "07.3", "A warmup helps where…",
        "the start is too sharp", "A small rate keeps the run there until the sharpness has come down.",
        {"the gradients are noisy": "There a decay helps, because the floor that noise leaves goes with the rate.",
         "the training is long": "Its length does not matter, because a start that is too sharp harms the first steps."}),
    "07.r3": Question(
        "07.5", "Noisy gradients in a valley, a small rate. Half the rate leaves a mean of x squared that is…",
        "half as large", "Noise enters with lr squared, but the last 1/lr steps count, so lr is left over.",
        {"as large as before": "The noise of the gradients is as before, but shorter steps carry less of it.",
         "a quarter as large": "So it is for a single step. But with half the rate twice as many steps are remembered."}),
    "07.r4": Question(
        "07.2", "A network in training stands above 2 / lr with its sharpness. What brings the sharpness down?",
        "its swings along the sharpest direction", "Averaged over a swing the gradient points to flatter places, the more so the wider it is.",
        {"nothing, so the run diverges": "So it is on a quadratic, because its curvature is the same everywhere.",
         "the fall of the loss": "Where the loss falls quietly, below 2 / lr, the sharpness of most networks rises."}),
    "08.r1": Question(
        "08.1", "40 residual blocks, branches at He's scale. From last to first the size of the gradient grows by a factor of…",
        "about a million", "Each block doubles the squared gradient, and the root of 2 to the power 40 is 1e6.",
        {"about forty": "So it would be if the branches' shares were added. But the blocks multiply.",
         "about one": "The path does keep its part. But each branch adds as much again to the square."}),
    "08.r2": Question(
        "08.3", "L blocks that normalise before the branch. The squared gradient grows by a factor of…",
        "L + 1", "The path grows, so branch l has the share 1/l. The product of 1 + 1/l is L + 1.",
        {"2^L": "So it is without a normalisation, because then every branch adds a full share.",
         "1": "So it is if the sum is normalised, because that divides on the way back as well."}),
    "08.r3": Question(
        "08.3", "A block computes h + relu(W h), and W is exactly zero. In training W…",
        "never moves", "PyTorch takes the slope of ReLU at 0 as 0, so that W gets no gradient.",
        {"moves slowly at first": "A small W would. At exactly zero the gradient is zero, and it stays so.",
         "moves as in any block": "So it does in h + W relu(h), because there the zero stands behind a living signal."}),
    "08.r4": Question(
        "08.1", "A skip path around each layer turns the product of the layers' factors into a product of…",
        "1 + branch", "The path hands the gradient on unchanged, so small weights leave every factor near one.",
        {"1 / branch": "Nothing is divided. The path and the branch are two ways, and what comes by both is added.",
         "1 - branch": "So it is only where the branch has the opposite sign. In general the two ways add up."}),
    "08.r5": Question(
        "08.3", "In a deep network of blocks that normalise before the branch, the late blocks…",
        "add little to the path", "The path has grown to size sqrt(l) by then, and a branch still has size 1.",
        {"add most to the path": "Every branch has size 1 at the start, but what it is added to has grown.",
         "add as much as the first": "In absolute size they do. Beside a path that has grown, that is little."}),
    "08.r6": Question(
        "08.4", "Weights before a batch normalisation are doubled. The gradient of these weights is then…",
        "half as large", "The outputs stay, so the same change of the loss needs twice the change of weights.",
        {"twice as large": "The normalisation divides by the size of what it gets, on the way back too.",
         "as large as before": "The outputs are as before. But a step of the same length turns longer weights less."}),
    "09.r1": Question(
        "09.2", "Adam, beta1 = 0.9, full batch, squared error. Rate times preconditioned sharpness settles just under…",
        "38", "The mean lets 1/19 of an alternating gradient through, so the edge lies at 19 times 2.",
        {"2": "That is the edge without momentum. A mean damps a gradient that changes sides in every step.",
         "3.8": "That is heavy ball's edge. Its velocity is a sum of gradients, while Adam's m is a mean."}),
    "09.r2": Question(
        "09.4", "Weights have their very first gradient late, under Adam. What shows it in that very step?",
        "the gradient over the root of v", "The gradient is of ordinary size, and the scale beside it is far too small.",
        {"the norm of the gradient": "It is of ordinary size, because these weights only join the others.",
         "the loss of that batch": "It leaps after that step, since it is computed before."}),
    "09.r3": Question(
        "09.1", "In AdamW the decay shrinks a weight by itself. If it were added to the gradient, it would…",
        "be divided by the root of v", "Adam divides whatever is in the gradient, so large gradients would hide the decay.",
        {"act twice in every step": "It would act once, by another way. But on that way Adam divides by its scale.",
         "do the same as before": "So it is in plain descent, where a step is proportional to the gradient."}),
    "09.r4": Question(
        "09.3", "beta1 = 0.9, beta2 = 0.999. A weight has its first gradient at step 3000. Its first step is…",
        "3.1 rates long", "m has taken in a tenth, the root of v a thirtieth, and both corrections are nearly over.",
        {"1 rate long": "So it is at step 1, because there both corrections make up for the short memory.",
         "0.1 rates long": "That is what m has taken in. It is divided by the root of v, which is smaller still."}),
    "09.r5": Question(
        "09.5", "Weights before a normalisation, AdamW. Ten times the rate and a tenth of the decay: per step they turn…",
        "by the same angle", "Steps and weights grow alike, because the angle goes with the root of rate times decay.",
        {"ten times as far": "The steps are ten times as long, but so are the weights once they have settled.",
         "a tenth as far": "The weights grow with rate over decay. But the steps are longer as well."}),
    "10.r1": Question(
        "10.1", "Queries and keys have 64 entries of size 1. Undivided, their logits have a size of about…",
        "8", "It sums 64 products of mean square 1, so that its root mean square is the root of 64.",
        {"1": "That is their size after the division by sqrt(d), which is what it is for.",
         "64": "That is the mean square of a logit. Its size is the root of that."}),
    "10.r2": Question(
        "10.2", "A softmax gives one token the weight 0.99. Its derivative with respect to that token's logit is…",
        "0.01", "It is p (1 - p), because what the token gains is taken from the others.",
        {"0.99": "That is p alone. The factor 1 - p is missing: nothing is left to take from the others.",
         "1": "That is the slope of a unit without a softmax. Here the weights have to sum to 1."}),
    "10.r3": Question(
        "10.3", "A softmax over logits that are all alike is…",
        "flat, and its slopes are largest in sum", "The sum of p (1 - p) is 1 - 1/T there, and no weights give more.",
        {"sharp, and its slopes are smallest in sum": "It is sharp where one logit lies far above the others. Equal logits share evenly.",
         "flat, and its slopes are smallest in sum": "They are small one by one, but there are T of them, and their sum is largest."}),
    "10.r4": Question(
        "10.4", "QK-norm in heads of 16 entries, logits divided by sqrt(16). No logit passes…",
        "4", "Both vectors have the length 4, so their product is at most 16, and 16 / 4 is 4.",
        {"1": "So it is for vectors of length 1 without the division. At an RMS of 1 their length is 4.",
         "16": "That is the largest dot product. It is still divided by the root of 16."}),
    "10.r5": Question(
        "10.4", "A transformer fails at a rate where it learns with frozen queries and keys. What was at fault?",
        "the growth of the logits", "Only queries and keys make the logits, and all other parts still moved as fast.",
        {"the step of the readout": "The readout moved as before. What was taken away is the movement of queries and keys.",
         "the size of the values": "Values were trained at the same rate in both runs, so they cannot make the difference."}),
    "11.r1": Question(
        "11.2", "A weight of 1.5 is kept in bfloat16, and an update adds 0.003. What is stored then is…",
        "1.5", "Neighbours are 1/128 apart there, so less than half of that is rounded away.",
        {"1.503": "That number lies between two neighbours of the format, which are 1/128 apart.",
         "1.508": "That is the next neighbour. An update reaches it from half a gap on, 0.0039."}),
    "11.r2": Question(
        "11.3", "Weights in bfloat16, rounded to the nearest, lose half of their updates. A lower rate makes that share…",
        "larger", "The gap belongs to the weight and stays, so that fewer of the smaller updates reach half of it.",
        {"smaller": "Smaller steps are gentler, but a step below half a gap is no step at all.",
         "as large as before": "It would be so if gaps shrank with the steps. They belong to the weights."}),
    "11.r3": Question(
        "11.4", "An average with beta2 = 0.999 is kept in bfloat16, and all gradients become 0. The average…",
        "stays", "It wants to fall by a thousandth, and half a gap is at least one part in 512.",
        {"falls to 0": "In float32 it does. Here each fall is rounded away before the next one comes.",
         "falls to half": "A smaller average has smaller gaps as well, so it stays wherever it is."}),
    "11.r4": Question(
        "11.5", "float16, and going back each layer halves delta. A loss scale four times as large lets how many more layers see it?",
        "2", "Each layer divides by two, so two layers use up a factor of four.",
        {"1": "One layer uses up a factor of two. The scale grew by four.",
         "4": "The scale multiplies delta once. Layers multiply among themselves, so a logarithm counts them."}),
    "11.r5": Question(
        "11.3", "Rounded at random, a weight goes up with the chance that…",
        "makes its mean right", "A quarter of a gap goes up once in four times, and nothing is lost on average.",
        {"is one half for all": "Then a weight just above a neighbour would rise far too often.",
         "grows with the learning rate": "The chance is the share of the gap already covered, whatever made the update."}),
}
# fmt: on

RECALLS = {
    "02": ("00.r5", "01.r2", "01.r3"),
    "03": ("01.r4", "02.r1", "02.r5"),
    "04": ("02.r4", "03.r1", "03.r4"),
    "05": ("02.r5", "03.r2", "04.r2"),
    "06": ("01.r2", "03.r3", "05.r2"),
    "07": ("01.r4", "05.r1", "06.r1"),
    "08": ("04.r1", "05.r3", "07.r2"),
    "09": ("01.r4", "06.r4", "07.r1"),
    "10": ("04.r1", "07.r2", "08.r2"),
    "11": ("01.r5", "03.r2", "06.r4"),
}
