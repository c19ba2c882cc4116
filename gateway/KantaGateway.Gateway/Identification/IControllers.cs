namespace KantaGateway.Gateway.Identification;

/// <summary>The data controllers that have joined.</summary>
public interface IControllers
{
    /// <summary>What kinds of controller an organisation is, each once, in their order: its clients may be of several; empty when it has not joined.</summary>
    /// <param name="oid">Dotted OID.</param>
    IReadOnlyList<ControllerKind> KindsOf(string oid);

    /// <summary>The services that an organisation gives (decree 457/2024 §4), by any of its clients; those of a reception where none is stated.</summary>
    /// <param name="oid">Dotted OID.</param>
    HealthServices ServicesOf(string oid);
}
