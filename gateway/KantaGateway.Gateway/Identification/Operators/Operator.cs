namespace KantaGateway.Gateway.Identification.Operators;

/// <summary>What an operator may see to.</summary>
public enum OperatorRole { Onboarding, Keys, DataProtection }

/// <summary>A signed-in operator.</summary>
/// <param name="Tenant">Entra's <c>tid</c>.</param>
/// <param name="Id">Entra's <c>oid</c>: the same for a person in every application of the tenant.</param>
/// <param name="SignedIn">When she last proved herself there (<c>auth_time</c>).</param>
/// <param name="Session">Name of the session for the log, no secret.</param>
public sealed record Operator(string Tenant, string Id, string Name, IReadOnlySet<OperatorRole> Roles, DateTimeOffset SignedIn, string Session);

/// <summary>Told of everything that operators do or try, before it takes effect.</summary>
public interface IOperatorObserver
{
    /// <param name="act">A plain sentence without secrets.</param>
    /// <param name="refused">Why it was not done; null when it is done.</param>
    /// <param name="digest">SHA-256 of what was decided about; null when it is nothing that has one.</param>
    /// <exception cref="Fhir.Outcomes.FaultException">It could not be recorded: don't go on.</exception>
    ValueTask ActedAsync(HttpContext context, Operator who, string act, string? refused, byte[]? digest);

    /// <summary>Told of what the machine does by itself.</summary>
    /// <param name="act">A plain sentence without personal data.</param>
    /// <param name="digest">SHA-256 of what it is about; null when it is nothing that has one.</param>
    /// <exception cref="Fhir.Outcomes.FaultException">It could not be recorded.</exception>
    ValueTask MachineActedAsync(string act, string? refused, byte[]? digest);
}

/// <summary>Records nothing: for a host of identification alone.</summary>
internal sealed class NoOperatorObserver : IOperatorObserver
{
    public ValueTask ActedAsync(HttpContext context, Operator who, string act, string? refused, byte[]? digest) => default;
    public ValueTask MachineActedAsync(string act, string? refused, byte[]? digest) => default;
}
