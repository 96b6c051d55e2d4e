-- Hello.hs - answers {"name":"Ada"} with {"greeting":"Hello, Ada!"}. What it throws becomes the error of
-- the invocation: thrown on into C it would end the process.
--
-- SPDX-License-Identifier: MIT-0
module Hello where

import Control.Exception (SomeException, displayException, evaluate, try)
import qualified Data.ByteString.Char8 as B
import Foreign (FunPtr, Ptr, nullPtr)
import Foreign.C (CSize (..), CString)

type Say = Ptr () -> CString -> CString -> CSize -> IO ()

foreign import ccall "dynamic" call :: FunPtr Say -> Say
foreign export ccall "handle_event" handle :: CString -> CSize -> FunPtr Say -> Ptr () -> IO ()

greet :: B.ByteString -> B.ByteString
greet event = case B.stripPrefix (B.pack "{\"name\":\"") event of
    Just rest -> B.concat [B.pack "{\"greeting\":\"Hello, ", B.takeWhile (/= '"') rest, B.pack "!\"}"]
    Nothing -> error "expected {\"name\":\"Ada\"}"

handle :: CString -> CSize -> FunPtr Say -> Ptr () -> IO ()
handle event size to_say to = do
    result <- try (B.packCStringLen (event, fromIntegral size) >>= evaluate . greet)
    let say kind text = B.useAsCStringLen text $ \(p, n) -> call to_say to kind p (fromIntegral n)
    case result of
        Right answer -> say nullPtr answer
        Left e -> B.useAsCString (B.pack "Function.Exception") $ \kind ->
            say kind (B.pack (takeWhile (/= '\n') (displayException (e :: SomeException))))
