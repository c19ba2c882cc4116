using System.Security.Cryptography;
using System.Text;

namespace KantaGateway.Audit;

/// <summary>The log's Ed25519 seed, base64 in a file of its own beside the store.</summary>
public static class LogKeyFile
{
    /// <summary>Its name in the store's folder.</summary>
    public const string Name = "log.key";

    /// <summary>Reads the seed, 32 bytes.</summary>
    /// <param name="folder">Folder of the store.</param>
    /// <param name="create">Whether a missing one is made: the embedded development host only.</param>
    /// <exception cref="FileNotFoundException">There is none and none may be made.</exception>
    public static byte[] Open(string folder, bool create)
    {
        var file = Path.Combine(folder, Name);
        if (create && !File.Exists(file))
        {
            OwnerOnly.CreateFolder(folder);
            OwnerOnly.WriteWhole(file, Encoding.ASCII.GetBytes(Convert.ToBase64String(RandomNumberGenerator.GetBytes(32))));
        }
        return Convert.FromBase64String(File.ReadAllText(file).Trim());
    }
}
