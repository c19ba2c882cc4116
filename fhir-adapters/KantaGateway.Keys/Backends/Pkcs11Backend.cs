using System.Collections.Concurrent;
using System.Globalization;
using System.Runtime.InteropServices;
using System.Security.Cryptography;
using System.Text;
using KantaGateway.Fhir.Grants;
using Net.Pkcs11Interop.Common;
using Net.Pkcs11Interop.HighLevelAPI;
using Net.Pkcs11Interop.HighLevelAPI.MechanismParams;
using ISession = Net.Pkcs11Interop.HighLevelAPI.ISession;

namespace KantaGateway.Keys.Backends;

/// <summary>Keys in an HSM. A session that is lost is opened anew once, then the caller is told that there is no answer.</summary>
sealed class Pkcs11Backend : IKeyBackend
{
    private const string WrappingLabel = "kanta-wrapping-", PseudonymLabel = "kanta-pseudonym-", CustodyLabel = "kanta-custody";
    private const int NonceLength = 12, TagBits = 128;

    private static readonly Pkcs11InteropFactories Factories = new();

    private readonly Pkcs11Options _options;
    private readonly SemaphoreSlim _free;
    private readonly ConcurrentBag<Session> _sessions = [];
    private readonly Lock _connecting = new();
    private volatile Connection? _connection;

    static Pkcs11Backend() =>
        // The wrapper asks for libdl, which glibc 2.34 has merged away; the name with a version is still there.
        NativeLibrary.SetDllImportResolver(typeof(IPkcs11Library).Assembly, static (name, assembly, path) =>
            name == "libdl" && NativeLibrary.TryLoad("libdl.so.2", out var handle) ? handle : 0);

    /// <exception cref="KeyBackendException">The token is not there, or its keys are not as they have to be.</exception>
    public Pkcs11Backend(Pkcs11Options options)
    {
        (_options, _free) = (options, new(options.Sessions));
        _ = Connect();
    }

    public ValueTask<IReadOnlyList<uint>> VersionsAsync(KeyKind kind, CancellationToken cancel) => UseAsync(session => (IReadOnlyList<uint>)[.. session.Of.Keys.Of(kind).Keys.Order()], cancel);

    public async ValueTask MakeAsync(KeyKind kind, uint version, CancellationToken cancel) => await UseAsync(session =>
    {
        // An HSM may have been given the key by its own keepers; two gateways' ceremonies come one after the other.
        lock (_connecting)
            if (!(session.Of.Keys = TokenKeys.Find(session.Open)).Of(kind).ContainsKey(version))
            {
                using var writing = session.Of.Slot.OpenSession(SessionType.ReadWrite);
                var isWrapping = kind == KeyKind.Wrapping;
                using var mechanism = Factories.MechanismFactory.Create(isWrapping ? CKM.CKM_AES_KEY_GEN : CKM.CKM_GENERIC_SECRET_KEY_GEN);
                var attributes = Factories.ObjectAttributeFactory;
                writing.GenerateKey(mechanism,
                [
                    attributes.Create(CKA.CKA_CLASS, CKO.CKO_SECRET_KEY), attributes.Create(CKA.CKA_KEY_TYPE, isWrapping ? CKK.CKK_AES : CKK.CKK_GENERIC_SECRET), attributes.Create(CKA.CKA_TOKEN, true), attributes.Create(CKA.CKA_PRIVATE, true),
                    attributes.Create(CKA.CKA_LABEL, string.Create(CultureInfo.InvariantCulture, $"{(isWrapping ? WrappingLabel : PseudonymLabel)}{version}")), attributes.Create(CKA.CKA_VALUE_LEN, (ulong)DataKeys.KeyLength),
                    attributes.Create(CKA.CKA_SENSITIVE, true), attributes.Create(CKA.CKA_EXTRACTABLE, false), attributes.Create(CKA.CKA_ENCRYPT, isWrapping), attributes.Create(CKA.CKA_DECRYPT, isWrapping), attributes.Create(CKA.CKA_SIGN, !isWrapping),
                ]);
                session.Of.Keys = TokenKeys.Find(session.Open);
            }
        return version;
    }, cancel).ConfigureAwait(false);

    public async ValueTask DestroyAsync(KeyKind kind, uint version, CancellationToken cancel) => await UseAsync(session =>
    {
        lock (_connecting)
            if ((session.Of.Keys = TokenKeys.Find(session.Open)).Of(kind).TryGetValue(version, out var key))
            {
                using var writing = session.Of.Slot.OpenSession(SessionType.ReadWrite);
                writing.DestroyObject(key);
                session.Of.Keys = TokenKeys.Find(session.Open);
            }
        return version;
    }, cancel).ConfigureAwait(false);

    public ValueTask<byte[]> SealAsync(uint version, ReadOnlyMemory<byte> key, ReadOnlyMemory<byte> associated, CancellationToken cancel) => UseAsync(session =>
    {
        var nonce = RandomNumberGenerator.GetBytes(NonceLength);
        using var parameters = Gcm(nonce, associated);
        using var mechanism = Factories.MechanismFactory.Create(CKM.CKM_AES_GCM, parameters);
        return (byte[])[.. nonce, .. session.Open.Encrypt(mechanism, session.Of.Keys.Wrapping[version], key.ToArray())];
    }, cancel);

    public ValueTask<byte[]?> OpenAsync(uint version, ReadOnlyMemory<byte> sealedKey, ReadOnlyMemory<byte> associated, CancellationToken cancel) => UseAsync(session =>
    {
        if (!session.Of.Keys.Wrapping.TryGetValue(version, out var handle))
            return null;
        using var parameters = Gcm(sealedKey[..NonceLength].ToArray(), associated);
        using var mechanism = Factories.MechanismFactory.Create(CKM.CKM_AES_GCM, parameters);
        try
        {
            return (byte[]?)session.Open.Decrypt(mechanism, handle, sealedKey[NonceLength..].ToArray());
        }
        catch (Pkcs11Exception wrong) when (wrong.RV is CKR.CKR_ENCRYPTED_DATA_INVALID or CKR.CKR_ENCRYPTED_DATA_LEN_RANGE || (wrong.RV == CKR.CKR_GENERAL_ERROR && IsWell(session, handle)))
        {
            return null;
        }
    }, cancel);

    public async ValueTask<byte[]> MacAsync(uint version, ReadOnlyMemory<byte> text, CancellationToken cancel) =>
        await UseAsync(session => session.Of.Keys.Pseudonym.TryGetValue(version, out var key) ? Sign(session, key, text.ToArray()) : null, cancel).ConfigureAwait(false)
            ?? throw new KeyBackendException("The HSM has no such version of the pseudonym key.");

    public ValueTask<byte[]> DeriveAsync(string label, CancellationToken cancel) => UseAsync(session => Sign(session, session.Of.Keys.Custody, Encoding.ASCII.GetBytes(label)), cancel);

    private static byte[] Sign(Session session, IObjectHandle key, byte[] text)
    {
        using var mechanism = Factories.MechanismFactory.Create(CKM.CKM_SHA256_HMAC);
        return session.Open.Sign(mechanism, key, text);
    }

    public void Dispose()
    {
        lock (_connecting)
            Drop(_connection);
        _free.Dispose();
    }

    /// <summary>Whether the key still opens what it seals: SoftHSM calls a wrong tag a general error, as it calls a disk that is gone.</summary>
    private static bool IsWell(Session session, IObjectHandle key)
    {
        var nonce = RandomNumberGenerator.GetBytes(NonceLength);
        using var parameters = Gcm(nonce, default);
        using var mechanism = Factories.MechanismFactory.Create(CKM.CKM_AES_GCM, parameters);
        var sealedProbe = session.Open.Encrypt(mechanism, key, new byte[DataKeys.KeyLength]);
        using var again = Gcm(nonce, default);
        using var opening = Factories.MechanismFactory.Create(CKM.CKM_AES_GCM, again);
        return session.Open.Decrypt(opening, key, sealedProbe).Length == DataKeys.KeyLength;
    }

    private static ICkGcmParams Gcm(byte[] nonce, ReadOnlyMemory<byte> associated) =>
        Factories.MechanismParamsFactory.CreateCkGcmParams(nonce, (ulong)nonce.Length * 8, associated.ToArray(), TagBits);

    private async ValueTask<T> UseAsync<T>(Func<Session, T> use, CancellationToken cancel)
    {
        await _free.WaitAsync(cancel).ConfigureAwait(false);
        try
        {
            for (var attempt = 1; ; attempt++)
            {
                Session? session = null;
                try
                {
                    session = Take();
                    var result = use(session);
                    _sessions.Add(session);
                    return result;
                }
                catch (Pkcs11Exception lost)
                {
                    // A token that was taken out, a service that was started anew: everything of it is another one now.
                    Drop(session?.Of ?? _connection);
                    if (attempt == 2)
                        throw new KeyBackendException($"The HSM does not answer ({lost.RV}).", lost);
                }
            }
        }
        finally
        {
            _free.Release();
        }
    }

    private Session Take()
    {
        var connection = Connect();
        while (_sessions.TryTake(out var session))
            if (session.Of == connection)
                return session;
        return new(connection, connection.Slot.OpenSession(SessionType.ReadOnly));
    }

    private Connection Connect()
    {
        if (_connection is { } connected)
            return connected;
        lock (_connecting)
            return _connection ??= Open();
    }

    private Connection Open()
    {
        IPkcs11Library? library = null;
        try
        {
            library = Factories.Pkcs11LibraryFactory.LoadPkcs11Library(Factories, _options.Library, AppType.MultiThreaded);
            var slot = library.GetSlotList(SlotsType.WithTokenPresent).Find(s => s.GetTokenInfo().Label.TrimEnd() == _options.Token)
                ?? throw new KeyBackendException($"The HSM has no token labelled {_options.Token}.");
            // Logged in through one session, every session of the application is.
            var main = slot.OpenSession(SessionType.ReadOnly);
            try
            {
                main.Login(CKU.CKU_USER, File.ReadAllText(_options.PinFile).Trim());
            }
            catch (Pkcs11Exception already) when (already.RV == CKR.CKR_USER_ALREADY_LOGGED_IN)
            {
                // By another part of this process.
            }
            return new(library, slot, main, TokenKeys.Find(main));
        }
        catch (Exception failure) when (failure is Pkcs11Exception or UnmanagedException or IOException or UnauthorizedAccessException)
        {
            library?.Dispose();
            throw new KeyBackendException($"The HSM cannot be used ({(failure is Pkcs11Exception wrong ? wrong.RV.ToString() : failure.GetType().Name)}).", failure);
        }
        catch (KeyBackendException)
        {
            library?.Dispose();
            throw;
        }
    }

    private void Drop(Connection? lost)
    {
        lock (_connecting)
        {
            if (lost is null || lost != _connection)
                return;
            _connection = null;
            _sessions.Clear();
            try
            {
                lost.Library.Dispose();
            }
            catch (Pkcs11Exception)
            {
                // It is gone already.
            }
        }
    }

    private sealed class Connection(IPkcs11Library library, ISlot slot, ISession main, TokenKeys keys)
    {
        private volatile TokenKeys _keys = keys;

        public IPkcs11Library Library => library;
        public ISlot Slot => slot;

        /// <summary>The login lasts as long as it.</summary>
        public ISession Main => main;

        public TokenKeys Keys
        {
            get => _keys;
            set => _keys = value;
        }
    }

    private sealed record Session(Connection Of, ISession Open);

    private sealed record TokenKeys(IReadOnlyDictionary<uint, IObjectHandle> Wrapping, IReadOnlyDictionary<uint, IObjectHandle> Pseudonym, IObjectHandle Custody)
    {
        public IReadOnlyDictionary<uint, IObjectHandle> Of(KeyKind kind) => kind == KeyKind.Pseudonym ? Pseudonym : Wrapping;

        public static TokenKeys Find(ISession session)
        {
            var (wrapping, pseudonym) = (new Dictionary<uint, IObjectHandle>(), new Dictionary<uint, IObjectHandle>());
            IObjectHandle? custody = null;
            foreach (var found in session.FindAllObjects([Factories.ObjectAttributeFactory.Create(CKA.CKA_CLASS, CKO.CKO_SECRET_KEY)]))
            {
                var attributes = session.GetAttributeValue(found, [CKA.CKA_LABEL, CKA.CKA_SENSITIVE, CKA.CKA_EXTRACTABLE]);
                var label = attributes[0].GetValueAsString();
                var version = VersionIn(label, WrappingLabel) ?? VersionIn(label, PseudonymLabel);
                if (version is null && label != CustodyLabel)
                    continue;
                if (!attributes[1].GetValueAsBool() || attributes[2].GetValueAsBool())
                    throw new KeyBackendException($"The key {label} of the HSM can be taken out of it: it must be sensitive and not extractable.");
                if (version is null ? custody is not null : !(VersionIn(label, WrappingLabel) is null ? pseudonym : wrapping).TryAdd(version.Value, found))
                    throw new KeyBackendException($"The HSM has the key {label} twice.");
                if (version is null)
                    custody = found;
            }
            return custody is null || wrapping.Count == 0 || pseudonym.Count == 0
                ? throw new KeyBackendException($"The HSM has no {(custody is null ? CustodyLabel : wrapping.Count == 0 ? WrappingLabel + "1" : PseudonymLabel + "1")}.")
                : new(wrapping, pseudonym, custody);
        }

        private static uint? VersionIn(string label, string prefix) => label.StartsWith(prefix, StringComparison.Ordinal)
            && uint.TryParse(label.AsSpan(prefix.Length), NumberStyles.None, CultureInfo.InvariantCulture, out var version) && version > 0 ? version : null;
    }
}
