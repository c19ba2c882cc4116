namespace KantaGateway.Gateway.Identification;

/// <summary>The data controllers that have joined.</summary>
public interface IControllers
{
    /// <summary>Kind of a controller; null when none such has joined.</summary>
    /// <param name="oid">Dotted OID.</param>
    ControllerKind? KindOf(string oid);
}
