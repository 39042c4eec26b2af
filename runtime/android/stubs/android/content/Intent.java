package android.content;

public class Intent {
    public static final String ACTION_OPEN_DOCUMENT = "android.intent.action.OPEN_DOCUMENT";

    public static final String CATEGORY_OPENABLE = "android.intent.category.OPENABLE";

    public Intent(String action) {
        throw new UnsupportedOperationException();
    }

    public Intent addCategory(String category) {
        throw new UnsupportedOperationException();
    }

    public Intent setType(String type) {
        throw new UnsupportedOperationException();
    }

    public Intent putExtra(String name, int value) {
        throw new UnsupportedOperationException();
    }

    public android.net.Uri getData() {
        throw new UnsupportedOperationException();
    }
}
