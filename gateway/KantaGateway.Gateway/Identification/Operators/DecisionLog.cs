using System.Buffers.Text;
using System.Globalization;
using System.Security.Cryptography;
using System.Text;
using System.Text.Json;
using System.Text.Json.Serialization;
using KantaGateway.Audit;

namespace KantaGateway.Gateway.Identification.Operators;

/// <summary>
/// The log of decisions: a folder with one file an entry, <c>00000001.jws</c> and on, each a JWS (ES256, RFC 7515 compact) that names the digest of
/// the one before. Only added to. Who can write the folder but has not the key can neither decide anything nor change what was decided.
/// </summary>
/// <remarks>Gateways take turns by a lock on <c>lock</c>. What is cut off the end while no gateway runs is not seen here, but stands in the audit log.</remarks>
internal sealed class DecisionLog
{
    private const string Header = """{"alg":"ES256","typ":"kanta-decision+jws"}""";
    private const int LongestEntry = 256 * 1024;

    private static readonly TimeSpan LongestWait = TimeSpan.FromSeconds(5);
    private static readonly TimeSpan AskAgain = TimeSpan.FromMilliseconds(10);
    private static readonly string Head = Base64Url.EncodeToString(Encoding.ASCII.GetBytes(Header)) + ".";

    private static readonly JsonSerializerOptions Format = new(JsonSerializerDefaults.Web)
    {
        UnmappedMemberHandling = JsonUnmappedMemberHandling.Disallow,
        AllowDuplicateProperties = false,
        DefaultIgnoreCondition = JsonIgnoreCondition.WhenWritingNull,
        Converters = { new JsonStringEnumConverter(allowIntegerValues: false) },
    };

    private readonly string _folder;
    private readonly ECDsa _key = ECDsa.Create();

    /// <exception cref="InvalidDataException">The key file holds no P-256 private key.</exception>
    public DecisionLog(string folder, string keyFile)
    {
        _folder = folder;
        try
        {
            _key.ImportFromPem(File.ReadAllText(keyFile));
            if (_key.KeySize != 256)
                throw new InvalidDataException($"{keyFile}: the key of the log of decisions must be P-256.");
        }
        catch (Exception wrong) when (wrong is ArgumentException or CryptographicException)
        {
            throw new InvalidDataException($"{keyFile}: not a PKCS#8 PEM private key.", wrong);
        }
    }

    /// <summary>Follows the log from a state to its end.</summary>
    /// <exception cref="InvalidDataException">An entry is not what it has to be, or has gone; nothing after it can be relied on.</exception>
    /// <exception cref="IOException">The folder cannot be read.</exception>
    public DecisionState Read(DecisionState state)
    {
        if (state.Number > 0 && !File.Exists(PathOf(state.Number)))
            throw new InvalidDataException($"The log of decisions has lost its entry {state.Number}.");
        while (File.Exists(PathOf(state.Number + 1)))
        {
            var path = PathOf(state.Number + 1);
            if (new FileInfo(path).Length > LongestEntry)
                throw new InvalidDataException($"{path}: too long to be a decision.");
            var text = File.ReadAllText(path, Encoding.ASCII);
            var decision = Verify(text, path);
            if (decision.Number != state.Number + 1 || decision.Previous != state.Previous)
                throw new InvalidDataException($"{path}: does not follow the entry before it.");
            var (next, refusal) = state.Apply(decision, DigestOf(text));
            state = next ?? throw new InvalidDataException($"{path}: a decision that may not be taken ({refusal}).");
        }
        return state;
    }

    /// <summary>Nobody else writes until this is disposed.</summary>
    /// <exception cref="IOException">Another gateway has had its turn for too long, or the folder is out of reach.</exception>
    public async ValueTask<IDisposable> TakeTurnAsync(CancellationToken cancel)
    {
        var began = System.Diagnostics.Stopwatch.StartNew();
        while (true)
            try
            {
                return OwnerOnly.OpenFile(Path.Combine(_folder, "lock"), FileShare.None);
            }
            catch (IOException) when (began.Elapsed < LongestWait)
            {
                await Task.Delay(AskAgain, cancel).ConfigureAwait(false);
            }
    }

    /// <summary>The entry as it will be written.</summary>
    public string Sign(Decision decision)
    {
        var signed = Head + Base64Url.EncodeToString(JsonSerializer.SerializeToUtf8Bytes(decision, Format));
        return signed + "." + Base64Url.EncodeToString(_key.SignData(Encoding.ASCII.GetBytes(signed), HashAlgorithmName.SHA256));
    }

    /// <summary>Writes an entry, whole or not at all. Only in one's turn.</summary>
    /// <exception cref="IOException">It is not written.</exception>
    public void Append(long number, string signed)
    {
        if (signed.Length > LongestEntry)
            throw new IOException("The decision is too long to be written.");
        OwnerOnly.WriteWhole(PathOf(number), Encoding.ASCII.GetBytes(signed));
    }

    public static string DigestOf(string signed) => Base64Url.EncodeToString(SHA256.HashData(Encoding.ASCII.GetBytes(signed)));

    private Decision Verify(string text, string path)
    {
        try
        {
            var end = text.LastIndexOf('.');
            if (text.StartsWith(Head, StringComparison.Ordinal) && end > Head.Length
                && _key.VerifyData(Encoding.ASCII.GetBytes(text[..end]), Base64Url.DecodeFromChars(text.AsSpan(end + 1)), HashAlgorithmName.SHA256)
                && JsonSerializer.Deserialize<Decision>(Base64Url.DecodeFromChars(text.AsSpan(Head.Length, end - Head.Length)), Format) is { } decision)
                return decision;
        }
        catch (Exception malformed) when (malformed is FormatException or JsonException or CryptographicException)
        {
            // As if nobody had signed it.
        }
        throw new InvalidDataException($"{path}: not signed by the key of the log of decisions.");
    }

    private string PathOf(long number) => Path.Combine(_folder, number.ToString("D8", CultureInfo.InvariantCulture) + ".jws");
}
