namespace KantaGateway.Gateway.Portal;

/// <summary>What is wrong in a form.</summary>
/// <param name="Field">Element id of the field, to which the summary links.</param>
/// <param name="Text">Key of the sentence that says what to do.</param>
internal sealed record FormProblem(string Field, string Text);
