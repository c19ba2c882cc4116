using KantaGateway.Audit.Storage;
using Microsoft.Extensions.Logging;

namespace KantaGateway.Audit;

/// <summary>A kind of store that is not files in a folder.</summary>
public abstract class AuditEngine
{
    private protected AuditEngine()
    {
    }

    /// <exception cref="AuditStoreException">No store, another log's, or one that contradicts its checkpoint.</exception>
    internal abstract ILogStore Open(AuditLogOptions options, NoteSigner signer, ILogger logger);
}
