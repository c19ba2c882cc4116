namespace KantaGateway.Gateway.Portal;

/// <summary>Who outside vouches for the audit log, for the citizen's browser to check. Registered only where there are witnesses.</summary>
/// <param name="Keys">Their verifier keys (C2SP signed-note); each begins with the witness's name.</param>
internal sealed record LogWitnesses(IReadOnlyList<string> Keys);
