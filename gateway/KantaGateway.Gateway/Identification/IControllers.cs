namespace KantaGateway.Gateway.Identification;

/// <summary>The data controllers that have joined.</summary>
public interface IControllers
{
    /// <summary>What kinds of controller an organisation is, each once, in their order: its clients may be of several; empty when it has not joined.</summary>
    /// <param name="oid">Dotted OID.</param>
    IReadOnlyList<ControllerKind> KindsOf(string oid);
}
