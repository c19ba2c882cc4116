using System.Runtime.InteropServices;
using KantaGateway.Audit;
using KantaGateway.Keys.Backends;
using Net.Pkcs11Interop.Common;
using Net.Pkcs11Interop.HighLevelAPI;

namespace KantaGateway.Tests.Keys;

/// <summary>A token of SoftHSM in a folder of its own: a real PKCS#11 library, with the keys that the key service needs.</summary>
sealed partial class SoftToken
{
    private const string Label = "kanta-test", Pin = "900900";

    private static readonly Pkcs11InteropFactories Factories = new();

    private readonly string _folder;

    public SoftToken(string folder)
    {
        _folder = folder;
        OwnerOnly.CreateFolder(Path.Combine(folder, "tokens"));
        var configuration = Path.Combine(folder, "softhsm2.conf");
        File.WriteAllText(configuration, $"directories.tokendir = {Path.Combine(folder, "tokens")}\nobjectstore.backend = file\nlog.level = ERROR\n");
        // The library asks the C library, which does not know what .NET sets.
        Assert.Equal(0, SetVariable("SOFTHSM2_CONF", configuration, 1));
        OwnerOnly.WriteWhole(PinFile, System.Text.Encoding.ASCII.GetBytes(Pin));
        // Its own part loads the library as the product does.
        System.Runtime.CompilerServices.RuntimeHelpers.RunClassConstructor(typeof(Pkcs11Backend).TypeHandle);
        With(library =>
        {
            var slot = library.GetSlotList(SlotsType.WithTokenPresent)[0];
            slot.InitToken(Pin, Label);
            using var session = library.GetSlotList(SlotsType.WithTokenPresent).First(s => s.GetTokenInfo().Label.TrimEnd() == Label).OpenSession(SessionType.ReadWrite);
            session.Login(CKU.CKU_SO, Pin);
            session.InitPin(Pin);
            session.Logout();
        });
        AddKey("kanta-wrapping-1");
        AddKey("kanta-pseudonym-1");
        AddKey("kanta-custody");
    }

    /// <summary>Null where SoftHSM is not installed.</summary>
    public static string? Library { get; } = new[] { "/usr/lib/softhsm/libsofthsm2.so", "/usr/lib/x86_64-linux-gnu/softhsm/libsofthsm2.so", "/usr/lib/aarch64-linux-gnu/softhsm/libsofthsm2.so" }.FirstOrDefault(File.Exists);

    public string PinFile => Path.Combine(_folder, "pin");

    public Pkcs11Options Options => new() { Library = Library!, Token = Label, PinFile = PinFile, Sessions = 2 };

    /// <summary>Makes a key in the token, as a ceremony does.</summary>
    public void AddKey(string label, bool isExtractable = false) => InSession(session =>
    {
        var isPseudonym = !label.StartsWith("kanta-wrapping-", StringComparison.Ordinal);
        using var mechanism = Factories.MechanismFactory.Create(isPseudonym ? CKM.CKM_GENERIC_SECRET_KEY_GEN : CKM.CKM_AES_KEY_GEN);
        var attributes = Factories.ObjectAttributeFactory;
        session.GenerateKey(mechanism,
        [
            attributes.Create(CKA.CKA_CLASS, CKO.CKO_SECRET_KEY), attributes.Create(CKA.CKA_KEY_TYPE, isPseudonym ? CKK.CKK_GENERIC_SECRET : CKK.CKK_AES),
            attributes.Create(CKA.CKA_TOKEN, true), attributes.Create(CKA.CKA_PRIVATE, true), attributes.Create(CKA.CKA_LABEL, label), attributes.Create(CKA.CKA_VALUE_LEN, 32),
            attributes.Create(CKA.CKA_SENSITIVE, true), attributes.Create(CKA.CKA_EXTRACTABLE, isExtractable),
            attributes.Create(CKA.CKA_ENCRYPT, !isPseudonym), attributes.Create(CKA.CKA_DECRYPT, !isPseudonym), attributes.Create(CKA.CKA_SIGN, isPseudonym),
        ]);
    });

    /// <summary>Destroys a key in the token.</summary>
    public void DestroyKey(string label) => InSession(session =>
    {
        foreach (var found in session.FindAllObjects([Factories.ObjectAttributeFactory.Create(CKA.CKA_LABEL, label)]))
            session.DestroyObject(found);
    });

    /// <summary>What the token gives of a key's value: nothing.</summary>
    public bool GivesValueOf(string label)
    {
        var gives = false;
        InSession(session =>
        {
            var found = session.FindAllObjects([Factories.ObjectAttributeFactory.Create(CKA.CKA_LABEL, label)]).Single();
            gives = !session.GetAttributeValue(found, [CKA.CKA_VALUE])[0].CannotBeRead;
        });
        return gives;
    }

    /// <summary>Ends every session of this process, as when the HSM is started anew.</summary>
    public static void EndSessions()
    {
        var library = Factories.Pkcs11LibraryFactory.LoadPkcs11Library(Factories, Library, AppType.MultiThreaded);
        library.Dispose();
    }

    private static void InSession(Action<ISession> act) => With(library =>
    {
        using var session = library.GetSlotList(SlotsType.WithTokenPresent).First(s => s.GetTokenInfo().Label.TrimEnd() == Label).OpenSession(SessionType.ReadWrite);
        session.Login(CKU.CKU_USER, Pin);
        act(session);
    });

    private static void With(Action<IPkcs11Library> act)
    {
        using var library = Factories.Pkcs11LibraryFactory.LoadPkcs11Library(Factories, Library, AppType.MultiThreaded);
        act(library);
    }

    [LibraryImport("libc", EntryPoint = "setenv", StringMarshalling = StringMarshalling.Utf8)]
    private static partial int SetVariable(string name, string value, int overwrite);
}
